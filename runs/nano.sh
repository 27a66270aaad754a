#!/usr/bin/env bash
# The embedded model from nothing: its judges first, then six trainings, each from what the one before
# exported, then the copy into the package and its measurement. Every setting is in
# src/scenewright/train/recipes/, and resolved in recipe.json beside each result.
#
#   runs/nano.sh                 everything; interrupted, the same command continues at the last checkpoint
#   runs/nano.sh text base       these stages only
#   PYTHON=.venv/bin/python SCENES=100 SEEDS=1 runs/nano.sh measure
#
# Stages: judges vae text base words settle gligen measure. On two cores most of a day, on one current GPU
# about an hour; what each took is in docs/log.md. 3 GB of drawn pictures and latents are kept in runs/out.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=runs/out
MODEL=src/scenewright/models/nano
SCENES=${SCENES:-500}
SEEDS=${SEEDS:-3}
WEIGHTS=src/scenewright/models/judges/weights
STAGES=("$@")
[ ${#STAGES[@]} -gt 0 ] || STAGES=(judges vae text base words settle gligen measure)
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
    judges) # from renders alone; nothing that is generated ever reaches them
      for judge in detector textures verifier clip clip-2 segmenter segmenter-2 looks labeller; do
        train "judge-$judge"
      done
      place "$OUT/judge-textures/export/detector.safetensors" "$WEIGHTS/detector.safetensors"
      for judge in verifier looks labeller; do
        place "$OUT/judge-$judge/export/$judge.safetensors" "$WEIGHTS/$judge.safetensors"
      done
      for judge in clip segmenter; do # each in two stages
        place "$OUT/judge-$judge-2/export/$judge.safetensors" "$WEIGHTS/$judge.safetensors"
      done ;;
    vae) # autoencoder: 64 px crops of both worlds to latents at a quarter of the size; then its gate
      train nano-vae
      "$PYTHON" runs/vae_gate.py "$OUT/nano-vae/export" --out "$OUT/gate" ;;
    text) # tokenizer and text encoder, matched with pictures
      train nano-text ;;
    base) # UNet; most of the batches pass through fusers that learn with it
      train nano-base ;;
    words) # the same mostly without boxes, which teach the text instead
      train nano-words ;;
    settle) # the same, to the end of the learning rate
      train nano-settle
      place "$OUT/nano-settle/export/model" "$MODEL"
      place "$OUT/nano-settle/export/gligen.safetensors" "$MODEL/gligen.safetensors" ;;
    gligen) # those fusers again, on the finished and frozen UNet
      train nano-gligen --set task.adapter="$OUT/nano-settle/export/gligen.safetensors"
      place "$OUT/nano-gligen/export/gligen.safetensors" "$MODEL/gligen.safetensors" ;;
    measure)
      du -b "$MODEL"/*/*.safetensors "$MODEL"/*.safetensors "$WEIGHTS"/*.safetensors |
        awk '{ print; all += $1 } END { printf "%.1f MB in all\n", all / 1e6 }'
      "$PYTHON" -m scenewright reproduce gligen --scenes "$SCENES" --seeds "$SEEDS" --out "$OUT/gligen" \
        --log "$OUT/nano-base/log.jsonl" --log "$OUT/nano-words/log.jsonl" --log "$OUT/nano-settle/log.jsonl"
      "$PYTHON" runs/town_looks.py --out "$OUT/looks" ;;
    *)
      echo "error: unknown stage $stage" >&2
      echo "hint: stages are judges vae text base words settle gligen measure" >&2
      exit 2 ;;
  esac
done
