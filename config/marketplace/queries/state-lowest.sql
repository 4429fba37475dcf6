-- Every county of a state: its plans for one person, and their lowest premiums (null if there are none).
--
-- A plan costs the same in every county of a rating area. So the state's prices are read once and joined with the plans sold,
-- instead of once for each county.
with prices as materialized (
  select p.plan_id, p.issuer_id, p.metal_level, r.rating_area, r.premium
  from plans p
  join rates r on r.plan_id = p.plan_id and r.plan_year = p.plan_year and r.age = least(:age::int, 64)
  where p.state = :state::text and p.plan_year = :year::int
), sold as materialized (
  select c.county_fips, c.rating_area, s.plan_id
  from counties c
  join plan_county s on s.county_fips = c.county_fips and s.plan_year = :year::int
  where c.state = :state::text
), found as materialized (
  select sold.county_fips, count(*) as plans, count(distinct prices.issuer_id) as issuers, min(prices.premium) as lowest,
    min(prices.premium) filter (where prices.metal_level = 'Silver') as lowest_silver
  from sold
  join prices on prices.plan_id = sold.plan_id and prices.rating_area = sold.rating_area
  group by sold.county_fips
)
select c.county_fips, c.county_name, coalesce(found.plans, 0) as plans, coalesce(found.issuers, 0) as issuers,
  found.lowest, found.lowest_silver
from counties c
left join found on found.county_fips = c.county_fips
where c.state = :state::text
order by c.county_fips
