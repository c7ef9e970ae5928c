#!/usr/bin/env bash
# highway-env 1.12.1: a setting that no environment has is taken without a word, and the default goes on.
#
# One would expect `gymnasium.make("highway-fast-v0", config={"vehicle_count": 3})` to say that there is no such setting, as
# gymnasium does of a misspelt name of an environment ("Did you mean ..."). The setting is called `vehicles_count`; the road
# has 20 other cars, and `env.config` holds both names. The same holds within `observation` and `action`, whose classes
# take any keyword: `{"observation": {"see_behnd": True}}` sees nothing behind.
#
# Who takes settings from a file should hold them to `default_config()` of the environment's class, and those of an
# observation or an action to the parameters of its class.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet highway-env==1.12.1 gymnasium==1.4.0

"$folder/venv/bin/python" - << 'PYTHON'
import sys
import warnings

warnings.simplefilter("error")  # whatever is said would end this
import gymnasium
import highway_env  # registers the environments

seen = {}
for name in ("vehicle_count", "vehicles_count"):
    config = {name: 3, "observation": {"type": "Kinematics", "see_behnd": True}}
    env = gymnasium.make("highway-fast-v0", config=config).unwrapped
    env.reset(seed=0)
    seen[name] = len(env.road.vehicles) - 1
    print(f"{name}: 3 gives {seen[name]} other cars; see_behind is {env.observation_type.see_behind}")
    swallowed = not env.observation_type.see_behind
as_found = seen == {"vehicle_count": 20, "vehicles_count": 3} and swallowed
sys.exit(0 if as_found else "misspelt settings are no longer swallowed: this finding is out of date")
PYTHON
