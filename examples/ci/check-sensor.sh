#!/bin/sh
# The sensor against netsvc without pytest, as one would test a program in any language.
set -eu

web=${WEB_PORT:-8080} udp=${UDP_PORT:-6667}
export NETSVC_URL="http://127.0.0.1:$web"

netsvc serve --web "127.0.0.1:$web" --udp "udp://127.0.0.1:$udp?ack=received" --ready ready.json >netsvc.log &
daemon=$!
trap 'kill $daemon' EXIT
until [ -e ready.json ]; do
    kill -0 $daemon # It says in netsvc.log why it has ended.
    sleep 0.1
done

begin=$(netsvc tail --last)
python3 sensor.py 127.0.0.1 "$udp" kitchen 21.5
netsvc wait --after "$begin" --service receiver --kind received --contains 'kitchen 21.5'
