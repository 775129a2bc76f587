// Does nothing, with a C library: what the start of one costs by itself.
int main() { return 0; }
