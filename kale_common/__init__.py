"""What both services of KALE Pool would otherwise write twice: their logs and the part of their settings they share."""
