"""Published peaks and limits of GPU memory, and published throughput, with the planner's answers, and how near these are.

python -m tests.published
"""

from tests.benchmarks import published_time
from tests.support.published_tables import summary, table


def main() -> None:
    print(table())
    print()
    print(summary())
    print()
    print(published_time.page_table())


if __name__ == "__main__":
    main()
