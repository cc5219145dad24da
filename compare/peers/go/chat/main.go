// The chat of the usual Go tutorial: a map of live connections, and one channel through which every line goes to all others.
package main

import (
	"bufio"
	"log"
	"net"
	"os"
	"sync"
)

type message struct {
	from net.Conn
	text string
}

var (
	lock      sync.Mutex
	clients   = make(map[net.Conn]bool)
	broadcast = make(chan message, 100)
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go broadcaster()
	for {
		conn, err := listener.Accept()
		if err != nil {
			continue
		}
		go handle(conn)
	}
}

func broadcaster() {
	for message := range broadcast {
		lock.Lock()
		for conn := range clients {
			if conn == message.from {
				continue
			}
			if _, err := conn.Write([]byte(message.text)); err != nil {
				conn.Close()
				delete(clients, conn)
			}
		}
		lock.Unlock()
	}
}

func handle(conn net.Conn) {
	lock.Lock()
	clients[conn] = true
	lock.Unlock()
	defer func() {
		lock.Lock()
		delete(clients, conn)
		lock.Unlock()
		conn.Close()
	}()
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		broadcast <- message{conn, line}
	}
}
