"""The collection as a course: what a teacher needs to hand out exercises and to grade them."""
