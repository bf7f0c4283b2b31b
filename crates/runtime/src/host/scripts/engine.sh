# Installs and starts the container engine by the image's own script.
cd "$SEALER_ROOTFS/scripts"
chmod +x ./*.sh
exec bash "./$SEALER_ENGINE.sh" "$SEALER_ENGINE_STORAGE" "$RegistryDomain" "$RegistryPort"
