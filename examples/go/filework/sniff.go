// file.sniff: size and type of one file.

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	hybridrt "hybridrt.dev/go"
)

const (
	sniffBytes = 512 // the content type is decided by these first ones
	emptyType  = "inode/x-empty"
)

type sniffArgs struct {
	Root   string `json:"root"`
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Queues queues `json:"queues"`
}

type digestArgs struct {
	Root string `json:"root"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	Type string `json:"type"`
}

type sniffFailure struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

// sniff enqueues the digest of a file. A file that cannot be read is a result, not a failure:
// trying again would not help.
func sniff(_ context.Context, job *hybridrt.Job, args sniffArgs) error {
	size, kind, err := look(filepath.Join(args.Root, args.Path))
	if err != nil {
		return job.ReturnJSON(sniffFailure{Path: args.Path, Error: err.Error()})
	}
	return job.EnqueueJSON("file.digest",
		digestArgs{Root: args.Root, Path: args.Path, Size: size, Type: kind},
		hybridrt.Queue(args.Queues.Digest))
}

// look reads the size of a file and guesses its type from its first bytes.
func look(path string) (size int64, kind string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	about, err := file.Stat()
	if err != nil {
		return 0, "", err
	}
	head := make([]byte, sniffBytes)
	count, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, "", err
	}
	if count == 0 {
		return about.Size(), emptyType, nil
	}
	kind, _, _ = strings.Cut(http.DetectContentType(head[:count]), ";")
	return about.Size(), kind, nil
}
