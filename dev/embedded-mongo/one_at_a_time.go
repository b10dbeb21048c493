package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
)

// oneAtATime passes messages between clients and the database, one of all clients' messages at a time.
//
// FerretDB 1 on SQLite reads, changes and writes back in separate steps: of 80 concurrent findAndModify on 50
// documents many get the same one, and of 200 concurrent $inc most are lost. With one message inside at a time
// each command is atomic, as it is in MongoDB.
type oneAtATime struct {
	socket string
	inside sync.Mutex

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

func newOneAtATime(socket string) *oneAtATime {
	return &oneAtATime{socket: socket, open: map[net.Conn]struct{}{}}
}

// accept serves clients until the listener closes.
func (o *oneAtATime) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		go o.serve(client)
	}
}

// close lets the message in progress end, then closes every connection and lets no message in any more.
func (o *oneAtATime) close() {
	o.inside.Lock()
	defer o.inside.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for connection := range o.open {
		_ = connection.Close()
	}
}

// serve gives each client a connection of its own to the database, so that cursors and replies stay apart.
func (o *oneAtATime) serve(client net.Conn) {
	defer client.Close()
	database, err := net.Dial("unix", o.socket)
	if err != nil {
		return
	}
	defer database.Close()
	if !o.remember(client, database) {
		return
	}
	defer o.forget(client, database)
	for {
		// Read whole before the lock is taken: a client that stalls or leaves in mid-message blocks nobody.
		request, err := readMessage(client)
		if err != nil {
			return
		}
		reply, err := o.exchange(database, request)
		if err != nil {
			return
		}
		if wantsNoReply(request) {
			continue
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// exchange holds the lock from the first byte of the request to the last of the reply, whatever became of the
// client: a command that was begun ends before the next one starts.
func (o *oneAtATime) exchange(database net.Conn, request []byte) ([]byte, error) {
	o.inside.Lock()
	defer o.inside.Unlock()
	if _, err := database.Write(request); err != nil {
		return nil, err
	}
	return readMessage(database)
}

func (o *oneAtATime) remember(connections ...net.Conn) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, connection := range connections {
		o.open[connection] = struct{}{}
	}
	return !o.closed
}

func (o *oneAtATime) forget(connections ...net.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, connection := range connections {
		delete(o.open, connection)
	}
}

const (
	headerBytes     = 16
	maxMessageBytes = 48_000_000
	opMsg           = 2013
	moreToCome      = 1 << 1
)

// readMessage reads one message of the MongoDB wire protocol: its length comes first, little-endian.
func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < headerBytes || size > maxMessageBytes {
		return nil, fmt.Errorf("message of %d bytes", size)
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[len(length):])
	return message, err
}

// wantsNoReply tells an unacknowledged write, which FerretDB answers all the same.
func wantsNoReply(request []byte) bool {
	return len(request) >= headerBytes+4 &&
		binary.LittleEndian.Uint32(request[12:]) == opMsg &&
		binary.LittleEndian.Uint32(request[headerBytes:])&moreToCome != 0
}
