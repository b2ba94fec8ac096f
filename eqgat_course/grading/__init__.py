"""Grading: marks are decided where a student's code cannot reach.

Three processes. The *grader* (``grade``) goes through the submissions, keeps the results and writes the reports. For
each submission it starts a *judge* (``judge``), which reads the instructor's notebook and the checks, and which starts
a *session* (``session``): a fresh process with limits, in which the student's answers run. The judge never runs a line
of the student. It asks the session for the values of answers, as plain data (``wire``); an answer that is a function it
calls from afar (``remote``). So a student who overwrites the checks, patches libraries or prints what a right answer
prints changes their own process alone.

What this does not defend against: reference code in the installed package (a student may call ``eqgat``'s own function
and be right; the report names what an answer uses), forged operation counts (an answer that is right but slow may pass
as fast), and a session's use of the machine within its limits. ``sandbox`` says what depends on the operating system.
"""
