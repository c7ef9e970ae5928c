#!/usr/bin/env bash
# CPython 3.11.7: a KeyboardInterrupt that is caught, and comes up within exec() of source text, takes the exit code of `python -m`.
#
# One would expect that a program which catches KeyboardInterrupt and calls sys.exit(7) ends with 7. Run as `python FILE` or as
# `python -c`, it does. Run as `python -m MODULE` it is ended by SIGINT where the interrupt came up within exec() or eval() of a
# string: the interpreter notes an interrupt that leaves source text, the note outlives the `except`, and at the end it counts for
# more than the exit code. A plain `raise KeyboardInterrupt` in the module leaves no note. The standard library runs source text for each
# dataclass and each named tuple, so that it needs no exec of one's own: a Ctrl-C while modules are imported is enough, now and then.
#
# Who promises an exit code should run other source text, `exec("")`, before leaving: it clears the note.
#
# Prints what was seen and exits with 1 where the behaviour is another.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 --version

cat > stopped.py << 'PYTHON'
import sys

try:
    if "exec" in sys.argv:
        exec("raise KeyboardInterrupt")
    raise KeyboardInterrupt
except KeyboardInterrupt:
    pass
if "clear" in sys.argv:
    exec("")
sys.exit(7)
PYTHON

code() { (exec "$@") && echo 0 || echo $?; }
seen=()
for how in "stopped.py exec" "-m stopped" "-m stopped exec" "-m stopped exec clear"; do
    # shellcheck disable=SC2086
    found=$(code python3 $how)
    echo "python3 $how: exit code $found"
    seen+=("$found")
done
if [ "${seen[*]}" != "7 7 130 7" ]; then # 130 is the shell's word for: ended by SIGINT
    echo "an interrupt that is caught within exec no longer takes the exit code: this finding is out of date"
    exit 1
fi
