// A member of a room: go run member.go http://127.0.0.1:8082/rooms/lobby alice
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	room, name := os.Args[1], url.QueryEscape(os.Args[2])
	go stay(room)
	client := http.Client{Timeout: 10 * time.Second}
	for typed := bufio.NewScanner(os.Stdin); typed.Scan(); {
		answer, err := client.Post(room+"?name="+name, "text/plain", strings.NewReader(typed.Text()))
		if err != nil {
			log.Println("may not have arrived:", err)
			continue
		}
		if answer.StatusCode != http.StatusOK {
			log.Println("refused:", answer.Status)
		}
		answer.Body.Close()
	}
}

func stay(room string) {
	since, wait := "", time.Second
	for {
		// The server says something every 20 s, so that a connection in which nothing comes for longer is dead.
		alive, cancel := context.WithCancel(context.Background())
		silence := time.AfterFunc(45*time.Second, cancel)
		request, _ := http.NewRequestWithContext(alive, "GET", room+"/messages?follow=1"+since, nil)
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			for lines := json.NewDecoder(answer.Body); err == nil; silence.Reset(45 * time.Second) {
				var told struct {
					ID, From, Text, Event, Error string
					Seq, Lost                    uint64
				}
				if err = lines.Decode(&told); told.ID != "" {
					since, wait = "&since="+told.ID, time.Second
				}
				switch {
				case told.Seq > 0: // %q, since others choose the text: it shall not drive our terminal.
					fmt.Printf("%s: %q\n", told.From, told.Text)
				case told.Event == "gap", told.Event == "reset", told.Error != "":
					fmt.Println("--", told.Event+told.Error, told.Lost)
				}
			}
			answer.Body.Close()
		}
		cancel()
		log.Println(err)
		time.Sleep(time.Duration(rand.Int63n(int64(wait))))
		if wait *= 2; wait > 30*time.Second {
			wait = 30 * time.Second
		}
	}
}
