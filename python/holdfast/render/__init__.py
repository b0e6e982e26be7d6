"""What is made of verdicts for people and programs: lines of a terminal, the HTML page, JUnit.

It reads verdicts alone; only who prints or writes imports it.
"""
