"""What acts on the outside: admission loop, endpoint client, decoder, spool, sweep; and the simulator."""
