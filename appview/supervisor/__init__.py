"""Processes that are kept running: started in order, restarted when they die, stopped in reverse, gone with us."""
