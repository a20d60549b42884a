"""For the classroom: hidden checks of the exercises, and a class run that grades with nbgrader."""
