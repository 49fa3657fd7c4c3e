module hybridrt.dev/go

go 1.24
