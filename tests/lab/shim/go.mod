module repro.test/lab/shim

go 1.25.0
