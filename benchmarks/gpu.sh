#!/usr/bin/env bash
# Everything that waits for a GPU, in order of value. Each part writes its own file below $OUT and a part that fails does not
# stop the next; runs offline with the torch that is installed. On a machine without a GPU it runs to its end on the CPU.
set -u
cd "$(dirname "$0")/.."
out="${OUT:-benchmarks/results}"
python="${PYTHON:-python3}"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
mkdir -p "$out"

part() {
  local name="$1"; shift
  echo "== $name"
  "$@" >"$out/$name.log" 2>&1 && echo "ok" || echo "failed: see $out/$name.log"
}

part devices "$python" -c 'import torch; print(torch.__version__, torch.cuda.is_available() and torch.cuda.get_device_name())'
part tests "$python" -m pytest -m gpu tests/gpu -q
part attention "$python" benchmarks/attention.py --results "$out"
part ragged "$python" benchmarks/ragged.py --results "$out"
part cost "$python" benchmarks/cost.py --rounds "${ROUNDS:-20}" --results "$out"
part mae_step "$python" benchmarks/mae_step.py --rounds "${ROUNDS:-20}" --results "$out" --only maetoolkit
part quickstart "$python" -m maetoolkit pretrain quickstart "run=$out/quickstart" precision=bf16 "steps=${STEPS:-300}"
