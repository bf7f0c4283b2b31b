# Installs and starts the container engine by the image's own script. Where it looked for images under an earlier name of
# the registry is forgotten.
for rules in /etc/containerd/certs.d/*; do
    case ${rules##*/} in
    _default | "$RegistryURL") ;;
    *) if grep -qs "^# written by sealer" "$rules/hosts.toml"; then rm -rf "$rules"; fi ;;
    esac
done
cd "$SEALER_ROOTFS/scripts"
chmod +x ./*.sh
exec bash "./$SEALER_ENGINE.sh" "$SEALER_ENGINE_STORAGE" "$RegistryDomain" "$RegistryPort"
