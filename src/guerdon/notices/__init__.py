"""What people are told: alerts for operators."""
