"""What is said around an SRT connection, sans-I/O: stream ids, addresses, reasons for a refusal."""
