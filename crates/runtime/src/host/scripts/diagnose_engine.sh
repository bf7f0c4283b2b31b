echo "the last lines of $SEALER_ENGINE:"
journalctl -u "$SEALER_ENGINE.service" -n 15 --no-pager -o cat 2>&1 | sed 's/^/  /'
