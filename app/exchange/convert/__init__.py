"""Write a result of infer or detect in the layout of another tool."""
