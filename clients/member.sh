#!/usr/bin/env bash
# A member of a room: ./member.sh http://127.0.0.1:8082/rooms/lobby alice
room=$1 name=$2

listen() {
    local last='' wait=1 line
    trap 'kill $!; exit' TERM
    # For as long as the shell that reads what is typed is there.
    while kill -0 $$ 2> /dev/null; do
        while read -r line; do
            wait=1
            if [[ $line =~ '"id":"'([^\"]+) ]]; then last=${BASH_REMATCH[1]}; fi
            case $line in
                # What is escaped in JSON stays so, and cannot drive our terminal.
                '{"room"'*) sed -E 's/.*"from":"?([^",]*)"?,"(text|base64)":"(.*)"\}$/\1: \3/' <<< "$line" ;;
                '{"event":"gap"'* | '{"event":"reset"'*) echo "-- $line" ;;
            esac
        # The server says something every 20 s, so that a connection in which nothing comes for longer is dead.
        done < <(curl -sSNf --speed-limit 1 --speed-time 45 "$room/messages?follow=1${last:+&since=$last}")
        sleep $wait
        wait=$((wait < 16 ? 2 * wait : 30))
    done
}

listen &
trap 'kill $!' EXIT
while IFS= read -r line; do
    curl -sSf --max-time 10 -o /dev/null --data-raw "$line" "$room?name=$name" || echo '-- may not have arrived' >&2
done
