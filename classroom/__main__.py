"""`python -m classroom grade ASSIGNMENT --course FOLDER`: see `classroom.grade`."""

import sys

from classroom.grade import main

sys.exit(main())
