#!/usr/bin/env bash
# The embedded model from nothing: four trainings, each from what the one before exported, then the copy into
# the package and its measurement. Every setting is in src/scenewright/train/recipes/nano.py, and resolved in
# recipe.json beside each result.
#
#   runs/nano.sh                 everything; interrupted, the same command continues at the last checkpoint
#   runs/nano.sh text base       these stages only
#   PYTHON=.venv/bin/python SCENES=100 runs/nano.sh measure
#
# Stages: vae text base gligen measure. On two cores a few hours, on one current GPU well under one; what each
# took is in docs/log.md. 2.5 GB of drawn pictures and latents are kept in runs/out/cache.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=runs/out
MODEL=src/scenewright/models/nano
SCENES=${SCENES:-500}
STAGES=("$@")
[ ${#STAGES[@]} -gt 0 ] || STAGES=(vae text base gligen measure)
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"

train() { # train RECIPE [--set key=value ...]: trains or continues; the result is in $OUT/RECIPE
  "$PYTHON" -m scenewright train "$@" --out "$OUT/$1" --resume
}

place() { # place FROM TO: a copy that appears whole or not at all
  rm -rf "$2.new"
  cp -r "$1" "$2.new"
  rm -rf "$2"
  mv "$2.new" "$2"
}

for stage in "${STAGES[@]}"; do
  case $stage in
    vae) # autoencoder: 64 px crops of both worlds to latents at a quarter of the size
      train nano-vae ;;
    text) # tokenizer and text encoder, matched with pictures
      train nano-text ;;
    base) # UNet; most of the batches pass through fusers that learn with it
      train nano-base
      place "$OUT/nano-base/export/model" "$MODEL"
      place "$OUT/nano-base/export/gligen.safetensors" "$MODEL/gligen.safetensors" ;;
    gligen) # those fusers again, on the finished and frozen UNet
      train nano-gligen --set task.adapter="$OUT/nano-base/export/gligen.safetensors"
      place "$OUT/nano-gligen/export/gligen.safetensors" "$MODEL/gligen.safetensors" ;;
    measure)
      du -b "$MODEL"/*/*.safetensors "$MODEL"/*.safetensors |
        awk '{ print; all += $1 } END { printf "%.1f MB in all\n", all / 1e6 }'
      for run in base gligen; do # the probe while training: boxes found with and without the layout
        [ -f "$OUT/nano-$run/log.jsonl" ] && echo "nano-$run" && grep '"validation"' "$OUT/nano-$run/log.jsonl"
      done
      "$PYTHON" runs/colours_in_boxes.py --scenes "$SCENES" --out "$OUT/colours" ;;
    *)
      echo "error: unknown stage $stage" >&2
      echo "hint: stages are vae text base gligen measure" >&2
      exit 2 ;;
  esac
done
