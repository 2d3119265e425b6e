"""What operators ask: is it healthy, and what is going on?"""
