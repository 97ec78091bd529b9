/* Every conformance test; *state is the struct sp_compute under test. One file per group of the compute table.
 * May include: nothing. */
#ifndef SP_TESTS_CONFORMANCE_CASES_H
#define SP_TESTS_CONFORMANCE_CASES_H

/* memory.c */
void memory_is_aligned_even_when_empty(void **state);
void copies_arrive_and_stay_inside(void **state);
void copy_rows_moves_every_dtype(void **state);
void context_tells_what_it_is(void **state);
void rates_are_measured(void **state);
void time_is_told_by_class(void **state);

/* graphs.c */
void graphs_give_the_bits_of_their_operations(void **state);
void graphs_take_nothing_of_the_host(void **state);

/* convert.c */
void convert_rounds_to_nearest_between_all_dtypes(void **state);

/* linear.c */
void linear_forward_equals_reference(void **state);
void linear_backward_input_equals_reference(void **state);
void linear_backward_weight_equals_reference(void **state);
void linear_of_16_bits_equals_reference_at_length(void **state);
void activation_backward_equals_reference(void **state);
void gelu_is_right_at_every_size_of_input(void **state);

/* norm.c */
void norm_forward_equals_reference(void **state);
void norm_forward_survives_an_offset(void **state);
void norm_of_equal_values_is_beta(void **state);
void norm_backward_equals_reference(void **state);
void norm_backward_may_alias(void **state);
void norm_dropout_keeps_almost_nothing(void **state);

/* attention.c */
void attention_forward_equals_reference(void **state);
void attention_blocks_equal_one_block(void **state);
void attention_with_huge_scores_stays_finite(void **state);
void attention_in_a_window_equals_reference(void **state);
void attention_finish_and_dots_equal_reference(void **state);
void attention_merge_equals_reference(void **state);
void attention_backward_equals_reference(void **state);
void attention_backward_adds_or_overwrites(void **state);
void attention_ignores_rows_that_attended_to_nothing(void **state);
void attention_of_whole_steps_equals_reference(void **state);
void attention_polls_on_the_calling_thread(void **state);

/* scores.c */
void scores_equal_reference(void **state);

/* rotate.c */
void rotate_equals_reference(void **state);
void rotate_back_gives_what_was_rotated(void **state);

/* embedding.c */
void embedding_forward_equals_reference(void **state);
void embedding_backward_equals_reference(void **state);

/* head.c */
void gather_rows_copies(void **state);
void scatter_add_rows_equals_reference(void **state);
void cross_entropy_equals_reference(void **state);
void cross_entropy_with_huge_logits_stays_finite(void **state);
void cross_entropy_takes_the_first_of_equals(void **state);

/* parts.c */
void words_of_parts_equal_reference(void **state);
void cross_entropy_of_parts_equals_reference(void **state);
void cross_entropy_of_parts_takes_the_first_of_equals(void **state);

/* head.c */
void tanh_equals_reference(void **state);
void tanh_backward_equals_reference(void **state);

/* update.c */
void sum_squares_equals_reference(void **state);
void sum_squares_finds_what_is_not_finite(void **state);
void decide_equals_reference(void **state);
void adamw_equals_reference_over_steps(void **state);
void add_equals_reference(void **state);

#endif
