"""Measure answers against references: every item, target and grader, without any vendor service."""
