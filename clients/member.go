package main // A room client: go run member.go http://127.0.0.1:8082/rooms/lobby alice

import "bufio"
import "encoding/json"
import "fmt"
import "net/http"
import "os"
import "strings"
import "time"

func main() {
	var told struct{ ID, From, Text, Event, since string }
	go func() {
		for ; ; time.Sleep(time.Second) {
			if answer, err := http.Get(os.Args[1] + "/messages?follow=1" + told.since); err == nil {
				for lines := json.NewDecoder(answer.Body); lines.Decode(&told) == nil; told.From, told.Text, told.Event, told.since = "", "", "", "&since="+told.ID {
					fmt.Printf("%s%s: %q\n", told.Event, told.From, told.Text)
				}
			}
		}
	}()
	for typed := bufio.NewScanner(os.Stdin); typed.Scan(); {
		if answer, err := http.Post(os.Args[1]+"?name="+os.Args[2], "text/plain", strings.NewReader(typed.Text())); err != nil {
			fmt.Println("-- may not have arrived:", err)
		} else {
			answer.Body.Close()
		}
	}
}
