# Gives the files of applications back as the image has them, and keeps the originals of those that are changed next.
apps=${SEALER_PAYLOAD:-$SEALER_ROOTFS}/application/apps
kept=${SEALER_PAYLOAD:-$SEALER_ROOTFS}/application/.originals
[ -d "$apps" ] || exit 0
for original in "$kept"/*; do
    [ -d "$original" ] || continue
    name=${original##*/}
    rm -rf "${apps:?}/$name"
    cp -a "$original" "$apps/$name"
done
printf '%s\n' "$SEALER_CHANGED" | while IFS= read -r name; do
    [ -n "$name" ] && [ ! -e "$kept/$name" ] || continue
    mkdir -p "$kept"
    rm -rf "${kept:?}/.new-$name"
    cp -a "$apps/$name" "$kept/.new-$name"
    mv "$kept/.new-$name" "$kept/$name"
done
