#!/usr/bin/env bash
# highway-env 1.12.1: with SDL_VIDEODRIVER=dummy every picture that `render_mode="rgb_array"` gives is black, without a word.
#
# One would expect the opposite: the dummy driver is what servers and containers set so that pygame works without a display, and
# pictures come from a surface in memory, which needs none. They are right where the variable is not set, display or none (SDL then says
# "XDG_RUNTIME_DIR is invalid" on stderr, which stops nothing). But the viewer takes the variable for "draw nothing" and hands out the
# surface as it was made. A video or a policy on pictures made so is of nothing.
#
# Who renders without a display should leave the variable unset, or set `env.unwrapped.viewer.enabled = True` after a first render.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet highway-env==1.12.1 gymnasium==1.4.0

cat > "$folder/render.py" << 'PYTHON'
import gymnasium
import highway_env  # registers the environments
import numpy as np

env = gymnasium.make("highway-fast-v0", render_mode="rgb_array")
env.reset(seed=0)
env.step(1)
print(len(np.unique(env.render().reshape(-1, 3), axis=0)))
PYTHON

colours() { "$@" "$folder/venv/bin/python" -W ignore "$folder/render.py" 2> /dev/null | tail -1; }
unset_=$(colours env -u SDL_VIDEODRIVER)
dummy=$(colours env SDL_VIDEODRIVER=dummy)
echo "colours in a picture: $unset_ where SDL_VIDEODRIVER is not set, $dummy where it is dummy"
[[ $unset_ -gt 3 && $dummy -eq 1 ]] || { echo "pictures are no longer black: this finding is out of date" >&2; exit 1; }
