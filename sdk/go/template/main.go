package main

// What the component exports. It is made by the build.
import _ "tidemill.local/sdk/bindings/exports/wit_exports"

// Never called: the host calls the handlers.
func main() {}
