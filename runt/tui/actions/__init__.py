"""What each command does. One module per group of commands; ``handlers`` joins them to the table's ids."""
