module {{name}}

go 1.27

require tidemill.local/sdk v0.0.0

require go.bytecodealliance.org/pkg v0.4.0 // indirect

replace tidemill.local/sdk => ./sdk/go
