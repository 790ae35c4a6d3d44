module repro.test/lab/middle

go 1.25.0
