"""Published peaks and limits of GPU memory with the planner's answers, and how near these are.

python -m tests.published
"""

from tests.support.published_tables import summary, table

if __name__ == "__main__":
    print(table())
    print()
    print(summary())
