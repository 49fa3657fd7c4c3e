module hybridrt.dev/produce

go 1.24

require hybridrt.dev/go v0.0.0

replace hybridrt.dev/go => ../../../ffi/go
