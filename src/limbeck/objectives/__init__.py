"""What the student is asked to match. Needs torch and ``limbeck.interfaces`` alone."""
