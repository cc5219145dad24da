// The datagram server of the usual Go tutorial: a loop that answers "received: " and what came.
package main

import (
	"log"
	"net"
	"os"
)

func main() {
	address, err := net.ResolveUDPAddr("udp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 2048)
	for {
		count, peer, err := conn.ReadFromUDP(buffer)
		if err != nil {
			continue
		}
		conn.WriteToUDP([]byte("received: "+string(buffer[:count])), peer)
	}
}
