"""From the kernel's socket to the journal, with every loss counted."""
