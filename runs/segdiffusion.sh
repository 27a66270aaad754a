#!/usr/bin/env bash
# Open-vocabulary segmentation on the embedded model: the one-pass segmenter that comes in the package, the mask
# denoiser beside it, then everything that is measured. Every setting is in src/scenewright/train/recipes/segment.py,
# mask_denoiser.py and segformer.py, and resolved in recipe.json beside each result.
#
#   runs/segdiffusion.sh                  everything; interrupted, the same command continues
#   runs/segdiffusion.sh segmenter        these stages only
#   PYTHON=.venv/bin/python SCENES=100 SEEDS=1 runs/segdiffusion.sh measure
#
# Stages: segmenter denoiser measure speed photographs. Trainings belong to the base that is in the package: with
# another one they are made anew. What each took is in docs/log.md. MORE has further options of `reproduce
# segdiffusion`, BENCH of benchmarks/segment.py; PHOTOGRAPHS names a folder that holds coco100 and ade20k10.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
OUT=runs/out/segdiffusion
MODEL=src/scenewright/models/nano
SCENES=${SCENES:-500}
SEEDS=${SEEDS:-3}
PHOTOGRAPHS=${PHOTOGRAPHS:-../shared/data}
STAGES=("$@")
[ ${#STAGES[@]} -gt 0 ] || STAGES=(segmenter denoiser measure speed photographs)
export PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}"

run() { "$PYTHON" -m scenewright "$@"; }

reproduce() { # reproduce [--variant NAME ...]: trains what is missing, measures, writes the tables anew
  run reproduce segdiffusion --scenes "$SCENES" --out "$OUT" "$@" ${MORE:-}
}

newest() { # newest VARIANT EXPORTED: of the first training of a variant, the one that was made last
  ls -td "$OUT"/trainings/"$1"-1-????????/export/"$2" | head -n 1
}

for stage in "${STAGES[@]}"; do
  case $stage in
    segmenter) # its first training, which goes into the package
      reproduce --variant one-pass --variant attention --seeds 1
      cp "$(newest one-pass segmenter.safetensors)" "$MODEL/segmenter.safetensors.new"
      mv "$MODEL/segmenter.safetensors.new" "$MODEL/segmenter.safetensors" ;;
    denoiser)
      reproduce --variant mask-denoiser --seeds 1 ;;
    measure) # all variants and seeds; what was trained and counted above is used
      reproduce --seeds "$SEEDS" ;;
    speed)
      "$PYTHON" benchmarks/segment.py --denoiser "$(newest mask-denoiser mask-denoiser)" --pictures 24 \
        --out "$OUT/segment.json" ${BENCH:-} ;;
    photographs) # sizes, formats and files; the labels are those of a network of drawn toys
      run evaluate ovss "$PHOTOGRAPHS/coco100" --benchmark coco-stuff --split "" --out "$OUT/photographs"
      run evaluate ovss "$PHOTOGRAPHS/ade20k10" --benchmark a150 --split "" --out "$OUT/photographs" ;;
    *)
      echo "error: unknown stage $stage" >&2
      echo "hint: stages are segmenter denoiser measure speed photographs" >&2
      exit 2 ;;
  esac
done
