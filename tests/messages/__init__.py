"""What Awa says: each message has cause and remedy, and none says what is not true."""
