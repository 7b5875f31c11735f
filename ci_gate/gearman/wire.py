"""What both ends of our Gearman speak beyond gear's constants (gearman-jenkins.md 1)."""

CAN_DO_MANY = 101  # Zuul's extension: replaces the connection's function set
GET_STATUS_UNIQUE, STATUS_RES_UNIQUE = 41, 42  # as in gearmand
RESUMES = b"resumes"  # an option of our server: this worker comes back for the jobs that it was at
PRODUCT = "ci-gate"  # how our server calls itself when asked for its version
