# Labels and taints a node. What follows -- is never a flag.
printf '%s\n' "$SEALER_LABELS" | while read -r label; do
    [ -z "$label" ] || kubectl label --overwrite node -- "$SEALER_NODE" "$label"
done
printf '%s\n' "$SEALER_TAINTS" | while read -r taint; do
    case $taint in
    '') ;;
    # A taint that is to go may be gone already.
    *-) kubectl taint node -- "$SEALER_NODE" "$taint" 2>/dev/null || true ;;
    *) kubectl taint --overwrite node -- "$SEALER_NODE" "$taint" ;;
    esac
done
