"""What is true about the trade: records and their rules, without web, clock or commit."""
