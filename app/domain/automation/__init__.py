"""What jobs do with records by themselves: reassign, remind, escalate, expire, hand back after a leave."""
