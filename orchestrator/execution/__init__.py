"""Running trials: the tasks, the queue, the worker, and the back end that runs them in this process."""
