int app(void) { return 1; }
