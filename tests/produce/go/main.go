// A producer that does what it is told; tests/produce/c/produce.c describes its input and output.
//
//	produce-go SOCKET
package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	hybridrt "hybridrt.dev/go"
)

const (
	fields      = 6
	answerLimit = 30 * time.Second
)

// codes are the names that the other languages give the same errors.
var codes = []struct {
	err  error
	code string
}{
	{hybridrt.ErrQueueFull, "HRT_EFULL"},
	{hybridrt.ErrLogFull, "HRT_ELOGFULL"},
	{hybridrt.ErrDiskFull, "HRT_ENOSPC"},
	{hybridrt.ErrTooLarge, "HRT_ETOOLARGE"},
	{hybridrt.ErrUnknownKind, "HRT_EKIND"},
	{hybridrt.ErrUnknownQueue, "HRT_EQUEUE"},
	{hybridrt.ErrName, "HRT_ENAME"},
	{hybridrt.ErrPaused, "HRT_EPAUSED"},
	{hybridrt.ErrTimeout, "HRT_ETIMEOUT"},
	{hybridrt.ErrClosed, "HRT_ECLOSED"},
	{hybridrt.ErrUnreachable, "HRT_EREACH"},
	{hybridrt.ErrVersion, "HRT_EVERSION"},
	{hybridrt.ErrPermission, "HRT_EPERM"},
	{hybridrt.ErrLimit, "HRT_ELIMIT"},
}

type answer struct {
	IDs     []uint64 `json:"ids"`
	Code    string   `json:"code"`
	Message string   `json:"message"`
}

func (a *answer) fail(err error) {
	if err == nil || a.Code != "" {
		return
	}
	a.Code, a.Message = "HYBRIDRT", err.Error()
	for _, known := range codes {
		if errors.Is(err, known.err) {
			a.Code = known.code
			return
		}
	}
}

func unhex(text string) string {
	data, _ := hex.DecodeString(text)
	return string(data)
}

func produce(client *hybridrt.Client, field []string) answer {
	size, _ := strconv.Atoi(field[3])
	count, _ := strconv.Atoi(field[4])
	block, _ := strconv.Atoi(field[5])
	limit := answerLimit
	if block > 0 {
		limit = time.Duration(block) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	specs := make([]hybridrt.Spec, count)
	for i := range specs {
		specs[i] = hybridrt.Spec{
			Kind: unhex(field[0]), Queue: unhex(field[1]), Key: unhex(field[2]),
			Payload: make([]byte, size), Block: block > 0,
		}
	}
	result := answer{IDs: []uint64{}}
	outcomes, err := client.EnqueueMany(ctx, specs)
	result.fail(err)
	for _, outcome := range outcomes {
		result.IDs = append(result.IDs, outcome.Receipt.ID)
		result.fail(outcome.Err)
	}
	return result
}

func main() {
	output := json.NewEncoder(os.Stdout)
	client, err := hybridrt.Attach(hybridrt.AttachOptions{Address: os.Args[1], Name: "produce-go"})
	attached := answer{IDs: []uint64{}}
	attached.fail(err)
	_ = output.Encode(attached)
	if err != nil {
		os.Exit(1)
	}
	defer client.Close()
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if field := strings.Split(input.Text(), "\t"); len(field) == fields {
			_ = output.Encode(produce(client, field))
		}
	}
}
