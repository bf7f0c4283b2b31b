# Boots a user-mode Linux on this machine's own files, read only, and runs one program in it.
# Usage: boot.sh DIRECTORY SECONDS PROGRAM [ARGUMENT]...
# DIRECTORY receives what the boot needs; the program is copied there. Ends with the program's exit status, or with 1
# when the machine came to no end within SECONDS.
set -eu

directory=$1 seconds=$2 program=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$directory"
cp "$program" "$directory/program"
cp "$here/init.sh" "$directory/init.sh"
chmod 0755 "$directory/program" "$directory/init.sh"
for word in "$@"; do printf '%s\n' "$word"; done >"$directory/arguments"

status=1
timeout --kill-after=5 "$seconds" linux.uml mem=512M uml_dir="$directory" umid="kernel-$$" \
    rootfstype=hostfs rootflags=/ ro init="$directory/init.sh" con=null con0=null,fd:1 quiet loglevel=3 </dev/null |
    {
        while IFS= read -r line; do
            case $line in
            "ended with "*) status=$(printf %s "${line#ended with }" | tr -cd 0-9) ;;
            *) printf '%s\n' "$line" ;;
            esac
        done
        exit "$status"
    }
