// A MongoDB server for development and tests: FerretDB with SQLite, on a unix socket in one folder.
//
//	embedded-mongo [-no-sync] FOLDER
//
// Prints "ready" once clients can connect to FOLDER/mongodb.sock. Ends on SIGTERM, on SIGINT and when its
// standard input closes, so that it never outlives the process that started it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// Relative to the folder, which becomes the working folder: the path of a unix socket has room for 107 bytes only.
const (
	outerSocket = "mongodb.sock"
	innerSocket = "ferretdb.sock"
)

// How long a message in progress may delay the end.
const stopDeadline = 2 * time.Second

func main() {
	noSync := flag.Bool("no-sync", false, "leave writing to the disk to the kernel")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: embedded-mongo [-no-sync] FOLDER")
		os.Exit(2)
	}
	if err := serve(flag.Arg(0), *noSync); err != nil {
		fmt.Fprintln(os.Stderr, "embedded-mongo:", err)
		os.Exit(1)
	}
}

func serve(folder string, noSync bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	// Databases and sockets are for this user only.
	syscall.Umask(0o077)
	if err := os.Chdir(folder); err != nil {
		return err
	}
	for _, socket := range []string{outerSocket, innerSocket} {
		if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}

	// The embeddable package creates no telemetry reporter.
	database, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: innerSocket},
		Handler:   "sqlite",
		SQLiteURL: sqliteURL(noSync),
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", outerSocket)
	if err != nil {
		return err
	}
	clients := newOneAtATime(innerSocket)
	go clients.accept(listener)
	fmt.Println("ready")

	// The database goes on until the message in progress is answered.
	databaseContext, stopDatabase := context.WithCancel(context.Background())
	go func() {
		<-ctx.Done()
		time.AfterFunc(stopDeadline, func() { os.Exit(1) })
		_ = listener.Close()
		clients.close()
		stopDatabase()
	}()
	return database.Run(databaseContext)
}

func sqliteURL(noSync bool) string {
	if noSync {
		return "file:./?_pragma=synchronous(off)"
	}
	return "file:./"
}
